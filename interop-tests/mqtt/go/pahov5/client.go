package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"time"

	"github.com/eclipse/paho.golang/paho"
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
	client   *paho.Client
	connack  *paho.Connack
	received chan *paho.Publish
	ended    chan byte // the reason code of the broker's DISCONNECT, 0 where there is none
	conn     net.Conn
}

// options are those of a clean session of its own.
func (b *broker) options() *paho.Connect {
	password, _ := b.url.User.Password()
	return &paho.Connect{
		ClientID: fresh("device"), CleanStart: true, KeepAlive: 60, Properties: &paho.ConnectProperties{},
		Username: b.url.User.Username(), UsernameFlag: true, Password: []byte(password), PasswordFlag: true,
	}
}

func soon() context.Context {
	limited, cancel := context.WithTimeout(context.Background(), wait)
	time.AfterFunc(wait, cancel)
	return limited
}

// connect gives what the broker answers, also where that is a refusal.
func (b *broker) connect(options *paho.Connect) (*device, error) {
	conn := get1(net.Dial("tcp", b.url.Host))
	d := &device{received: make(chan *paho.Publish, 10_000), ended: make(chan byte, 2), conn: conn}
	d.client = paho.NewClient(paho.ClientConfig{
		Conn: conn,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(got paho.PublishReceived) (bool, error) {
			d.received <- got.Packet
			return true, nil
		}},
		OnServerDisconnect: func(packet *paho.Disconnect) { d.ended <- packet.ReasonCode },
		OnClientError:      func(error) { d.ended <- 0 },
	})
	connack, err := d.client.Connect(soon(), options)
	d.connack = connack
	return d, err
}

func (b *broker) device() *device { return get1(b.connect(b.options())) }

// resume connects a client whose session outlives its connection by an hour.
func (b *broker) resume(clientID string) *device {
	options, hour := b.options(), uint32(3600)
	options.ClientID, options.CleanStart, options.Properties.SessionExpiryInterval = clientID, false, &hour
	return get1(b.connect(options))
}

func (b *broker) forget(clientID string) {
	options := b.options()
	options.ClientID = clientID
	get1(b.connect(options)).disconnect()
}

func (d *device) subscribe(filter string, qos byte) {
	d.subscribeWith(nil, paho.SubscribeOptions{Topic: filter, QoS: qos})
}

func (d *device) subscribeWith(identifier *int, options paho.SubscribeOptions) {
	packet := &paho.Subscribe{
		Subscriptions: []paho.SubscribeOptions{options},
		Properties:    &paho.SubscribeProperties{SubscriptionIdentifier: identifier},
	}
	want("granted", get1(d.client.Subscribe(soon(), packet)).Reasons, []byte{options.QoS})
}

func (d *device) publish(topic, payload string, qos byte, retain bool) {
	d.publishWith(&paho.Publish{Topic: topic, Payload: []byte(payload), QoS: qos, Retain: retain})
}

func (d *device) publishWith(packet *paho.Publish) { get1(d.client.Publish(soon(), packet)) }

func (d *device) next() *paho.Publish {
	select {
	case got := <-d.received:
		return got
	case <-time.After(wait):
		panic("no message")
	}
}

func (d *device) take(count int) (got []message) {
	for len(got) < count {
		got = append(got, plain(d.next()))
	}
	return got
}

// until gives what comes before the marker.
func (d *device) until(marker string) (got []message) {
	for {
		next := plain(d.next())
		if next.payload == marker {
			return got
		}
		got = append(got, next)
	}
}

func (d *device) waitEnded() byte {
	select {
	case reason := <-d.ended:
		return reason
	case <-time.After(wait):
		panic("still connected")
	}
}

func (d *device) disconnect() { must(d.client.Disconnect(&paho.Disconnect{})) }

// hangUp sends no DISCONNECT.
func (d *device) hangUp() {
	must(d.conn.Close())
	d.waitEnded()
}

func plain(got *paho.Publish) message {
	return message{got.Topic, string(got.Payload), got.QoS, got.Retain}
}

func payloads(messages []message) (texts []string) {
	for _, each := range messages {
		texts = append(texts, each.payload)
	}
	return texts
}
