package main

// takeover: the last to connect with a client id has it; the old connection is ended.
func takeover(b *broker) {
	topic, clientID := fresh("takeover"), fresh("taken")
	first := b.resume(clientID)
	first.subscribe(topic, 1)
	second := b.resume(clientID)
	first.waitEnded()
	want("session present", second.resumed, true)
	second.publish(topic, "here", 1, false)
	want("message", second.next().payload, "here")
	second.disconnect()
	b.forget(clientID)
}
