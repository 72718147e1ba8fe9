package main

// takeoverReason: the one who is taken over is told so.
func takeoverReason(b *broker) {
	clientID := fresh("taken")
	first := b.resume(clientID)
	second := b.resume(clientID)
	want("session present", second.connack.SessionPresent, true)
	want("reason", first.waitEnded(), byte(0x8e))
	second.disconnect()
	b.forget(clientID)
}
