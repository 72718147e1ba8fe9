package main

import "github.com/eclipse/paho.golang/paho"

// wildcards: which topics a filter matches.
func wildcards(b *broker) {
	own := fresh("w")
	topics := []string{own, own + "/", own + "/a/b", own + "/a//b", own + "/x.y/b", own + "/日本/😀"}
	matched := map[string][]string{
		own + "/#":     topics,
		own + "/+":     {own + "/"},
		own + "/+/b":   {own + "/a/b", own + "/x.y/b"},
		"+/a/+/b":      {own + "/a//b"},
		own + "/x.y/b": {own + "/x.y/b"},
		own + "/日本/+":  {own + "/日本/😀"},
	}
	subscriber, publisher := b.device(), b.device()
	end := "end-" + own
	subscriber.subscribe(end, 1)
	for filter, wanted := range matched {
		subscriber.subscribe(filter, 1)
		for _, topic := range topics {
			publisher.publish(topic, topic, 1, false)
		}
		publisher.publish(end, "end", 1, false)
		got := subscriber.until("end")
		want(filter, payloads(got), wanted)
		for _, each := range got {
			want("topic", each.topic, each.payload)
		}
		get1(subscriber.client.Unsubscribe(soon(), &paho.Unsubscribe{Topics: []string{filter}}))
	}
}
