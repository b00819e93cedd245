"""From the result document to tables, figures, HTML and Markdown."""
