// Command go runs one behaviour, shown by amqp091-go: `go BEHAVIOUR URL`.  It panics where the broker does otherwise.
package main

import (
	"fmt"
	"os"
)

var behaviours = map[string]func(url string){
	"ack":              ack,
	"bind":             bind,
	"consume":          consume,
	"declare":          declare,
	"get":              get,
	"heartbeat":        heartbeat,
	"large_messages":   largeMessages,
	"mandatory_return": mandatoryReturn,
	"many_channels":    manyChannels,
	"many_queues":      manyQueues,
	"nack":             nack,
	"publish_confirms": publishConfirms,
	"reconnect":        reconnect,
	"requeue":          requeue,
}

func main() {
	behaviours[os.Args[1]](os.Args[2])
	fmt.Println("shown")
}
