"""What a study is: one typed value, the statistics that make it, and its form as JSON."""
