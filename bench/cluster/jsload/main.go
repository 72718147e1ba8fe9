// Command jsload publishes to JetStream streams of three replicas and awaits each acknowledgement.
//
// On every connection, each stream has its share of the window: as many publishes as that are unacknowledged at once
// (jetstream.PublishMsgAsync), and the next goes out when the oldest is acknowledged. What was acknowledged is compared
// with what the streams count in the end. The figures go to standard output as one JSON object.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// A cluster that has just started has no leader yet.
	createTimeout = 60 * time.Second
	createPause   = 200 * time.Millisecond
	ackTimeout    = 30 * time.Second
	replicas      = 3
)

type load struct {
	urls        []string
	name        string
	streams     int
	connections int
	window      int
	size        int
	warmup      time.Duration
	duration    time.Duration
}

// tally is what one publisher of one stream saw.
type tally struct {
	acked     uint64
	measured  uint64
	latencies []time.Duration
	err       error
}

type result struct {
	Seconds  float64 `json:"seconds"`
	Acked    uint64  `json:"acked"`
	Measured uint64  `json:"measured"`
	P50      float64 `json:"p50"`
	P99      float64 `json:"p99"`
	Max      float64 `json:"max"`
}

type inFlight struct {
	future jetstream.PubAckFuture
	sent   time.Time
}

func (l *load) stream(number int) string {
	return fmt.Sprintf("%s-%d", l.name, number)
}

func (l *load) create(ctx context.Context, js jetstream.JetStream) error {
	for number := range l.streams {
		config := jetstream.StreamConfig{
			Name:     l.stream(number),
			Subjects: []string{l.stream(number)},
			Storage:  jetstream.FileStorage,
			Replicas: replicas,
		}
		deadline := time.Now().Add(createTimeout)
		for {
			_, err := js.CreateStream(ctx, config)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("stream %s: %w", config.Name, err)
			}
			time.Sleep(createPause)
		}
	}
	return nil
}

// publish keeps its share of the window in flight until the end, and awaits what is left then.
func (l *load) publish(js jetstream.JetStream, subject string, share int, begin, end time.Time) (t tally) {
	body := make([]byte, l.size)
	waiting := make([]inFlight, 0, share)
	next := 0
	await := func(one inFlight) error {
		select {
		case <-one.future.Ok():
		case err := <-one.future.Err():
			return err
		case <-time.After(ackTimeout):
			return errors.New("a publish was never acknowledged")
		}
		now := time.Now()
		t.acked++
		if now.After(begin) && now.Before(end) {
			t.measured++
			t.latencies = append(t.latencies, now.Sub(one.sent))
		}
		return nil
	}
	for {
		now := time.Now()
		if now.After(end) {
			break
		}
		future, err := js.PublishMsgAsync(&nats.Msg{Subject: subject, Data: body})
		if err != nil {
			t.err = err
			return t
		}
		if len(waiting) < share-1 {
			waiting = append(waiting, inFlight{future, now})
			continue
		}
		// The oldest gives its place to the one just sent.
		oldest := inFlight{future, now}
		if share > 1 {
			oldest, waiting[next] = waiting[next], oldest
			next = (next + 1) % (share - 1)
		}
		if t.err = await(oldest); t.err != nil {
			return t
		}
	}
	for place := range waiting {
		if t.err = await(waiting[(next+place)%len(waiting)]); t.err != nil {
			return t
		}
	}
	return t
}

func (l *load) connect() ([]jetstream.JetStream, func(), error) {
	var connections []*nats.Conn
	hangUp := func() {
		for _, connection := range connections {
			connection.Close()
		}
	}
	var streams []jetstream.JetStream
	for number := range l.connections {
		connection, err := nats.Connect(l.urls[number%len(l.urls)])
		if err != nil {
			hangUp()
			return nil, nil, err
		}
		connections = append(connections, connection)
		js, err := jetstream.New(connection, jetstream.WithPublishAsyncMaxPending(2*l.window+l.streams))
		if err != nil {
			hangUp()
			return nil, nil, err
		}
		streams = append(streams, js)
	}
	return streams, hangUp, nil
}

func (l *load) run(ctx context.Context) (*result, error) {
	connected, hangUp, err := l.connect()
	if err != nil {
		return nil, err
	}
	defer hangUp()
	if err := l.create(ctx, connected[0]); err != nil {
		return nil, err
	}
	begin := time.Now().Add(l.warmup)
	end := begin.Add(l.duration)
	share := max(1, l.window/l.streams)
	// Of fewer messages in flight than streams, each connection takes one stream.
	each := min(l.streams, l.window)
	tallies := make([]tally, l.connections*each)
	var working sync.WaitGroup
	for place := range tallies {
		working.Go(func() {
			js := connected[place/each]
			stream := (place/each + place%each) % l.streams
			tallies[place] = l.publish(js, l.stream(stream), share, begin, end)
		})
	}
	working.Wait()
	return l.sum(ctx, connected[0], tallies)
}

func (l *load) sum(ctx context.Context, js jetstream.JetStream, tallies []tally) (*result, error) {
	total := &result{Seconds: l.duration.Seconds()}
	var latencies []time.Duration
	for _, one := range tallies {
		if one.err != nil {
			return nil, one.err
		}
		total.Acked += one.acked
		total.Measured += one.measured
		latencies = append(latencies, one.latencies...)
	}
	if len(latencies) == 0 {
		return nil, errors.New("nothing was acknowledged")
	}
	sort.Slice(latencies, func(a, b int) bool { return latencies[a] < latencies[b] })
	microseconds := func(share float64) float64 {
		place := min(len(latencies)-1, int(share*float64(len(latencies))))
		return float64(latencies[place].Nanoseconds()) / 1000
	}
	total.P50, total.P99, total.Max = microseconds(0.5), microseconds(0.99), microseconds(1)
	var stored uint64
	for number := range l.streams {
		stream, err := js.Stream(ctx, l.stream(number))
		if err != nil {
			return nil, err
		}
		stored += stream.CachedInfo().State.Msgs
		if err := js.DeleteStream(ctx, l.stream(number)); err != nil {
			return nil, err
		}
	}
	if stored != total.Acked {
		return nil, fmt.Errorf("%d messages acknowledged, %d stored", total.Acked, stored)
	}
	return total, nil
}

func main() {
	var l load
	var urls string
	flag.StringVar(&urls, "urls", "nats://127.0.0.1:4222", "servers, with commas between them; connections take turns")
	flag.StringVar(&l.name, "name", "jsload", "beginning of the streams' names")
	flag.IntVar(&l.streams, "streams", 1, "streams")
	flag.IntVar(&l.connections, "connections", 1, "connections, each of which publishes to every stream")
	flag.IntVar(&l.window, "window", 1, "unacknowledged publishes of a connection")
	flag.IntVar(&l.size, "size", 16, "bytes of a body")
	flag.DurationVar(&l.warmup, "warmup", time.Second, "not measured")
	flag.DurationVar(&l.duration, "duration", 5*time.Second, "measured")
	flag.Parse()
	l.urls = strings.Split(urls, ",")
	if l.streams < 1 || l.connections < 1 || l.window < 1 || l.size < 0 {
		fmt.Fprintln(os.Stderr, "jsload: streams, connections and window are at least 1")
		os.Exit(2)
	}
	measured, err := l.run(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, "jsload:", err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(measured); err != nil {
		os.Exit(1)
	}
}
