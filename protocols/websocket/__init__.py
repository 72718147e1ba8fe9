"""WebSocket (RFC 6455) around the other protocols; its handshake is wsproto's."""
