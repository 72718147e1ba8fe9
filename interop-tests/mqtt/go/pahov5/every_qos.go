package main

// everyQos: a thousand messages of each QoS are all there, once, in order.
func everyQos(b *broker) {
	for qos := byte(0); qos <= 2; qos++ {
		topic := fresh("qos")
		subscriber, publisher := b.device(), b.device()
		subscriber.subscribe(topic, qos)
		sent := numbers(1000)
		for _, payload := range sent {
			publisher.publish(topic, payload, qos, false)
		}
		got := subscriber.take(len(sent))
		want("payloads", payloads(got), sent)
		for _, each := range got {
			want("message", each, message{topic, each.payload, qos, false})
		}
		publisher.publish(topic, "end", qos, false)
		want("more", len(subscriber.until("end")), 0)
		publisher.disconnect()
		subscriber.disconnect()
	}
}
