"""batchspec: the declarative way to run LLM batch jobs."""
