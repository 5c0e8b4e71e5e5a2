"""GPT-2 checkpoint directories in Hugging Face's layout: read, fetched, begun, grown, averaged."""
