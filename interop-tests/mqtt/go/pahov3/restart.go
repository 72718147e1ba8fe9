package main

// restart: after the broker was killed and started, sessions have what they are owed, and retained messages are there.
func restart(b *broker) {
	topic, clientID := fresh("restart"), fresh("session")
	device := b.resume(clientID)
	device.subscribe(topic+"/+", 1)
	device.disconnect()
	publisher, sent := b.connect(), numbers(20)
	publisher.publishAll(topic+"/x", sent, 2)
	publisher.publish(topic, "kept", 1, true)
	restartBroker()
	publisher.waitEnded()
	device = b.resume(clientID)
	want("session present", device.resumed, true)
	want("owed", payloads(device.take(20)), sent)
	device.subscribe(topic, 1)
	want("kept", device.next(), message{topic, "kept", 1, true})
	device.publish(topic, "", 1, true)
	device.publish(topic+"/x", "end", 1, false)
	want("more", payloads(device.until("end")), []string{""})
	device.disconnect()
	b.forget(clientID)
}
