"""Pure: values to text, JSON, HTML."""
