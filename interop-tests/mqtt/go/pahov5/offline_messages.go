package main

// offlineMessages: what is published while a session has no connection arrives when it has one again.
func offlineMessages(b *broker) {
	topic, clientID := fresh("offline"), fresh("session")
	device := b.resume(clientID)
	device.subscribe(topic, 2)
	device.hangUp()
	publisher, sent := b.device(), numbers(200)
	for _, payload := range sent {
		publisher.publish(topic, payload, 1, false)
	}
	for _, payload := range sent {
		publisher.publish(topic, payload, 2, false)
	}
	device = b.resume(clientID)
	want("session present", device.connack.SessionPresent, true)
	byQos := map[byte][]message{}
	for _, each := range device.take(400) {
		byQos[each.qos] = append(byQos[each.qos], each)
	}
	want("QoS 1", payloads(byQos[1]), sent)
	want("QoS 2", payloads(byQos[2]), sent)
	publisher.publish(topic, "end", 2, false)
	want("more", len(device.until("end")), 0)
	device.disconnect()
	b.forget(clientID)
}
