package main

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"net"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const wait = 10 * time.Second

// must ends the program with what went wrong.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// get1 is the value of a call that must not fail.
func get1[T any](value T, err error) T {
	must(err)
	return value
}

// want panics unless both are the same.
func want(what string, got, wanted any) {
	if !reflect.DeepEqual(got, wanted) {
		panic(fmt.Sprintf("%s: got %v, want %v", what, got, wanted))
	}
}

// fresh is a name nobody used.
func fresh(name string) string {
	random := make([]byte, 6)
	get1(rand.Read(random))
	return fmt.Sprintf("%s-%x", name, random)
}

// numbers are "0", "1", ...
func numbers(count int) (texts []string) {
	for number := 0; number < count; number++ {
		texts = append(texts, strconv.Itoa(number))
	}
	return texts
}

// restartBroker asks whoever runs this to kill and start the broker; it returns once connections are accepted again.
func restartBroker() {
	fmt.Println("restart")
	want("answer", get1(bufio.NewReader(os.Stdin).ReadString(10)), "restarted\n")
}

// message is what a subscriber got.
type message struct {
	topic, payload string
	qos            byte
	retain         bool
}

type broker struct{ url *url.URL }

func newBroker(text string) *broker { return &broker{get1(url.Parse(text))} }

// device is one connection of one client.
type device struct {
	client   mqtt.Client
	resumed  bool
	received chan message
	ended    chan error
	conn     net.Conn
}

// options are those of a clean session of its own.
func (b *broker) options() *mqtt.ClientOptions {
	password, _ := b.url.User.Password()
	return mqtt.NewClientOptions().AddBroker("tcp://" + b.url.Host).SetProtocolVersion(4).
		SetUsername(b.url.User.Username()).SetPassword(password).SetClientID(fresh("device")).
		SetAutoReconnect(false).SetCleanSession(true)
}

// connect gives what the broker answers as an error.
func connect(options *mqtt.ClientOptions) (*device, error) {
	d := &device{received: make(chan message, 10_000), ended: make(chan error, 1)}
	options.SetDefaultPublishHandler(func(_ mqtt.Client, got mqtt.Message) {
		d.received <- message{got.Topic(), string(got.Payload()), got.Qos(), got.Retained()}
	})
	options.SetConnectionLostHandler(func(_ mqtt.Client, err error) { d.ended <- err })
	options.SetCustomOpenConnectionFn(func(uri *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
		conn, err := net.Dial("tcp", uri.Host)
		d.conn = conn
		return conn, err
	})
	d.client = mqtt.NewClient(options)
	token := d.client.Connect().(*mqtt.ConnectToken)
	if !token.WaitTimeout(wait) {
		panic("no CONNACK")
	}
	d.resumed = token.SessionPresent()
	return d, token.Error()
}

func (b *broker) connect() *device { return get1(connect(b.options())) }

// resume connects a client whose session outlives its connection.
func (b *broker) resume(clientID string) *device {
	return get1(connect(b.options().SetClientID(clientID).SetCleanSession(false)))
}

func (b *broker) forget(clientID string) {
	get1(connect(b.options().SetClientID(clientID))).disconnect()
}

func done(what string, token mqtt.Token) {
	if !token.WaitTimeout(wait) {
		panic(what + ": no answer")
	}
	must(token.Error())
}

func (d *device) subscribe(filter string, qos byte) {
	token := d.client.Subscribe(filter, qos, nil).(*mqtt.SubscribeToken)
	done("SUBSCRIBE", token)
	want("granted", token.Result(), map[string]byte{filter: qos})
}

func (d *device) publish(topic, payload string, qos byte, retain bool) {
	done("PUBLISH", d.client.Publish(topic, qos, retain, payload))
}

// publishAll sends without waiting for each, then waits for all.
func (d *device) publishAll(topic string, payloads []string, qos byte) {
	for start := 0; start < len(payloads); start += 16 {
		var tokens []mqtt.Token
		for _, payload := range payloads[start:min(start+16, len(payloads))] {
			tokens = append(tokens, d.client.Publish(topic, qos, false, payload))
		}
		for _, token := range tokens {
			done("PUBLISH", token)
		}
	}
}

func (d *device) next() message {
	select {
	case got := <-d.received:
		return got
	case <-time.After(wait):
		panic("no message")
	}
}

func (d *device) take(count int) (got []message) {
	for len(got) < count {
		got = append(got, d.next())
	}
	return got
}

// until gives what comes before the marker.
func (d *device) until(marker string) (got []message) {
	for {
		next := d.next()
		if next.payload == marker {
			return got
		}
		got = append(got, next)
	}
}

func (d *device) waitEnded() {
	select {
	case <-d.ended:
	case <-time.After(wait):
		panic("still connected")
	}
}

func (d *device) disconnect() { d.client.Disconnect(250) }

// hangUp sends no DISCONNECT.
func (d *device) hangUp() {
	must(d.conn.(*net.TCPConn).CloseWrite()) // after Close the client would call it wanted
	d.waitEnded()
}

func payloads(messages []message) (texts []string) {
	for _, each := range messages {
		texts = append(texts, each.payload)
	}
	return texts
}
