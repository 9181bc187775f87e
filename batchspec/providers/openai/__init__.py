"""The OpenAI Files and Batches API."""
