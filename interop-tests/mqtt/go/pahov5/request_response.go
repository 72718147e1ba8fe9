package main

import "github.com/eclipse/paho.golang/paho"

// requestResponse: a request with all that it says of itself, and its answer.
func requestResponse(b *broker) {
	topic := fresh("service")
	requester, responder := b.device(), b.device()
	responder.subscribe(topic, 1)
	requester.subscribe(topic+"/answers", 1)
	text := byte(1)
	said := &paho.PublishProperties{
		ResponseTopic: topic + "/answers", CorrelationData: []byte{0, 1, 255}, ContentType: "text/plain",
		PayloadFormat: &text, User: paho.UserProperties{{Key: "z", Value: "1"}, {Key: "a", Value: "ü"}, {Key: "z", Value: "2"}},
	}
	requester.publishWith(&paho.Publish{Topic: topic, Payload: []byte("question"), QoS: 1, Properties: said})
	request := responder.next()
	want("request", request.Properties, said)
	responder.publishWith(&paho.Publish{
		Topic: request.Properties.ResponseTopic, Payload: []byte("answer"), QoS: 1,
		Properties: &paho.PublishProperties{CorrelationData: request.Properties.CorrelationData},
	})
	answer := requester.next()
	want("answer", string(answer.Payload), "answer")
	want("correlation", answer.Properties.CorrelationData, said.CorrelationData)
}
