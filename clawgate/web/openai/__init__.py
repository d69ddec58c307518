"""OpenAI's API: chat completions, responses, models and embeddings, for the clients that people already have.

Source: OpenAI API reference, https://platform.openai.com/docs/api-reference; Ollama docs/api/openai-compatibility.mdx.
"""
