"""DingTalk: Stream mode (钉钉 Stream 模式), its messages, and the two ways to answer them."""
