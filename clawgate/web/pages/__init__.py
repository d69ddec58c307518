"""The pages for browsers: the chat, the setup, and Markdown rendered for them."""
