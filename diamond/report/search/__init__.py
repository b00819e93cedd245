"""What a report says of a search over parameters: tables, words, figures."""
