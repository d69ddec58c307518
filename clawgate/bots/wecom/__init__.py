"""WeCom: the intelligent robot over its long connection (企业微信智能机器人 长连接)."""
