package main

// retained: the last message comes at subscribing, flagged; an empty one deletes it.
func retained(b *broker) {
	topic := fresh("retained")
	publisher, subscriber, late := b.device(), b.device(), b.device()
	publisher.publish(topic+"/a", "old", 1, true)
	publisher.publish(topic+"/a", "new", 1, true)
	subscriber.subscribe(topic+"/+", 2)
	want("replay", plain(subscriber.next()), message{topic + "/a", "new", 1, true})
	publisher.publish(topic+"/a", "", 1, true)
	want("deletion", plain(subscriber.next()), message{topic + "/a", "", 1, false})
	late.subscribe(topic+"/#", 1)
	publisher.publish(topic+"/b", "end", 1, false)
	want("after", len(late.until("end")), 0)
}
