// Package conformance holds what clients written in Go must see of Baton. This file: the broker under test, and amqp091-go,
// RabbitMQ's own client, over AMQP 0-9-1: the smoke path and the errors its users match on. The server comes from BATON_BIN
// (started here) or, for this file only, AMQP_URL (running already).
package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const patience = 10 * time.Second

type broker struct {
	url, home                string
	amqp, http, redis, stomp string // HOST:PORT
	process                  *exec.Cmd
}

// start runs BATON_BIN on its data directory, with the ports it had before, if any.
func (b *broker) start(t testing.TB) {
	t.Helper()
	ready := filepath.Join(b.home, "ready.json")
	os.Remove(ready)
	b.process = exec.Command(os.Getenv("BATON_BIN"), "serve", "--amqp-listen", b.amqp, "--http-listen", b.http,
		"--redis-listen", b.redis, "--stomp-listen", b.stomp, "--data-dir", filepath.Join(b.home, "data"), "--ready-file", ready)
	log, err := os.OpenFile(filepath.Join(b.home, "baton.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(t, err)
	b.process.Stdout, b.process.Stderr = log, log
	must(t, b.process.Start())
	eventually(t, "baton ready", func() bool {
		var endpoints struct{ AMQP, HTTP, Redis, Stomp string }
		bytes, err := os.ReadFile(ready)
		if err != nil || json.Unmarshal(bytes, &endpoints) != nil {
			return false
		}
		b.amqp, b.http, b.redis, b.stomp = endpoints.AMQP, endpoints.HTTP, endpoints.Redis, endpoints.Stomp
		b.url = "amqp://guest:guest@" + b.amqp + "/"
		return true
	})
}

func (b *broker) kill() {
	b.process.Process.Kill()
	b.process.Wait()
}

// newBroker is nil when the server is not ours to kill.
func newBroker(t testing.TB) *broker {
	if os.Getenv("AMQP_URL") != "" {
		return nil
	}
	if os.Getenv("BATON_BIN") == "" {
		t.Fatal("set BATON_BIN to a baton binary (the suite starts it), or AMQP_URL to a running server")
	}
	anywhere := "127.0.0.1:0"
	b := &broker{home: t.TempDir(), amqp: anywhere, http: anywhere, redis: anywhere, stomp: anywhere}
	b.start(t)
	t.Cleanup(b.kill)
	return b
}

// ownBroker skips the test when the server is not ours: only AMQP can be tested then.
func ownBroker(t testing.TB) *broker {
	b := newBroker(t)
	if b == nil {
		t.Skip("needs a broker of our own")
	}
	return b
}

func open(t *testing.T) (*amqp.Connection, *amqp.Channel) {
	url := os.Getenv("AMQP_URL")
	if b := newBroker(t); b != nil {
		url = b.url
	}
	return dial(t, url)
}

// dial gives a connection and a channel with confirms.
func dial(t *testing.T, url string) (*amqp.Connection, *amqp.Channel) {
	t.Helper()
	connection, err := amqp.Dial(url)
	must(t, err)
	t.Cleanup(func() { connection.Close() })
	channel, err := connection.Channel()
	must(t, err)
	must(t, channel.Confirm(false))
	return connection, channel
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * patience); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not become true", what)
		}
	}
}

func temporary(t *testing.T, channel *amqp.Channel, arguments amqp.Table) string {
	t.Helper()
	queue, err := channel.QueueDeclare("", false, false, true, false, arguments)
	must(t, err)
	return queue.Name
}

// send publishes and reports whether the broker acked.
func send(t *testing.T, channel *amqp.Channel, exchange, key string, message amqp.Publishing) bool {
	t.Helper()
	confirm, err := channel.PublishWithDeferredConfirm(exchange, key, false, false, message)
	must(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	acked, err := confirm.WaitContext(ctx)
	must(t, err)
	return acked
}

func body(text string) amqp.Publishing { return amqp.Publishing{Body: []byte(text)} }

func drain(t *testing.T, channel *amqp.Channel, queue string) (found []string) {
	t.Helper()
	for {
		message, ok, err := channel.Get(queue, true)
		must(t, err)
		if !ok {
			return found
		}
		found = append(found, string(message.Body))
	}
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %#v, want %#v", got, want)
	}
}

// closed checks the code and text with which the broker closed a channel.
func closed(t *testing.T, err error, code int, text string) {
	t.Helper()
	var reason *amqp.Error
	if !errors.As(err, &reason) {
		t.Fatalf("not closed by the broker: %v", err)
	}
	equal(t, []any{reason.Code, reason.Reason}, []any{code, text})
}

func TestBadPasswordIsRefusedWith403(t *testing.T) {
	connection, _ := open(t)
	_, err := amqp.Dial(fmt.Sprintf("amqp://guest:wrong@%s/", connection.RemoteAddr()))
	if !errors.Is(err, amqp.ErrCredentials) {
		t.Fatalf("got %v", err)
	}
}

func TestUnknownQueueClosesOnlyItsChannelWith404(t *testing.T) {
	connection, channel := open(t)
	other, err := connection.Channel()
	must(t, err)
	_, err = other.QueueDeclarePassive("nope", false, false, false, false, nil)
	closed(t, err, 404, "NOT_FOUND - no queue 'nope' in vhost '/'")
	temporary(t, channel, nil)
}

func TestConfirmsAndOrder(t *testing.T) {
	_, channel := open(t)
	queue := temporary(t, channel, nil)
	var confirms []*amqp.DeferredConfirmation
	var want []string
	for number := range 500 {
		want = append(want, fmt.Sprint(number))
		confirm, err := channel.PublishWithDeferredConfirm("", queue, false, false, body(want[number]))
		must(t, err)
		confirms = append(confirms, confirm)
	}
	for _, confirm := range confirms {
		if !confirm.Wait() {
			t.Fatal("nacked")
		}
	}
	equal(t, drain(t, channel, queue), want)
}

func TestMandatoryIsReturnedBeforeItsConfirm(t *testing.T) {
	_, channel := open(t)
	events := make(chan string, 2)
	returns, confirms := channel.NotifyReturn(make(chan amqp.Return)), channel.NotifyPublish(make(chan amqp.Confirmation))
	go func() {
		returned := <-returns
		events <- fmt.Sprint("return ", returned.ReplyCode, " ", returned.ReplyText)
		confirmed := <-confirms
		events <- fmt.Sprint("confirm ", confirmed.DeliveryTag, " ", confirmed.Ack)
	}()
	must(t, channel.Publish("", "conf.nowhere", true, false, body("x")))
	equal(t, []string{<-events, <-events}, []string{"return 312 NO_ROUTE", "confirm 1 true"})
}

func TestRejectPublishIsNacked(t *testing.T) {
	_, channel := open(t)
	queue := temporary(t, channel, amqp.Table{"x-max-length": 1, "x-overflow": "reject-publish"})
	equal(t, send(t, channel, "", queue, body("in")), true)
	equal(t, send(t, channel, "", queue, body("out")), false)
}

func TestPrefetchNackAndRedelivery(t *testing.T) {
	connection, channel := open(t)
	queue := temporary(t, channel, nil)
	for _, text := range []string{"1", "2", "3"} {
		send(t, channel, "", queue, body(text))
	}
	consuming, err := connection.Channel()
	must(t, err)
	must(t, consuming.Qos(2, 0, false))
	deliveries, err := consuming.Consume(queue, "", false, false, false, false, nil)
	must(t, err)
	first, second := <-deliveries, <-deliveries
	equal(t, []string{string(first.Body), string(second.Body)}, []string{"1", "2"})
	must(t, first.Nack(false, true))
	again := <-deliveries
	equal(t, []any{string(again.Body), again.Redelivered}, []any{"1", true})
	must(t, again.Ack(true)) // multiple: the second one too
	equal(t, string((<-deliveries).Body), "3")
	must(t, consuming.Close())
	equal(t, drain(t, channel, queue), []string{"3"})
}

func TestHeadersKeepTheirTypes(t *testing.T) {
	_, channel := open(t)
	queue := temporary(t, channel, nil)
	headers := amqp.Table{"bool": true, "byte": byte(255), "int8": int8(-1), "int16": int16(-300), "int32": int32(-70000), "int64": int64(-1 << 40),
		"float32": float32(1.5), "float64": 2.25, "string": "ü€", "bytes": []byte{0, 255}, "time": time.Unix(1_700_000_000, 0), "nil": nil,
		"decimal": amqp.Decimal{Scale: 2, Value: 314}, "table": amqp.Table{"k": "v"}, "array": []any{int32(1), "a"}}
	send(t, channel, "", queue, amqp.Publishing{Headers: headers, MessageId: "m", Priority: 3})
	message, ok, err := channel.Get(queue, true)
	must(t, err)
	equal(t, ok, true)
	equal(t, message.Headers, headers)
}

func TestDeadLettering(t *testing.T) {
	_, channel := open(t)
	dead := temporary(t, channel, nil)
	queue := temporary(t, channel, amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
	send(t, channel, "", queue, amqp.Publishing{Expiration: "50", Body: []byte("x")})
	var message amqp.Delivery
	eventually(t, "dead-lettered", func() (ok bool) {
		var err error
		message, ok, err = channel.Get(dead, true)
		must(t, err)
		return ok
	})
	death := message.Headers["x-death"].([]any)[0].(amqp.Table)
	delete(death, "time")
	equal(t, death, amqp.Table{"count": int64(1), "reason": "expired", "queue": queue, "exchange": "", "routing-keys": []any{queue},
		"original-expiration": "50"})
	equal(t, message.Expiration, "")
}

func TestTransactionsCommitTogether(t *testing.T) {
	connection, channel := open(t)
	one, two := temporary(t, channel, nil), temporary(t, channel, nil)
	tx, err := connection.Channel()
	must(t, err)
	must(t, tx.Tx())
	must(t, tx.Publish("", one, false, false, body("no")))
	must(t, tx.TxRollback())
	must(t, tx.Publish("", one, false, false, body("1")))
	must(t, tx.Publish("", two, false, false, body("2")))
	must(t, tx.TxCommit())
	equal(t, [][]string{drain(t, channel, one), drain(t, channel, two)}, [][]string{{"1"}, {"2"}})
}

func TestDeletingTheQueueNotifiesTheConsumer(t *testing.T) {
	connection, channel := open(t)
	queue := temporary(t, channel, nil)
	cancelled := channel.NotifyCancel(make(chan string, 1))
	_, err := channel.Consume(queue, "tag", true, false, false, false, nil)
	must(t, err)
	other, err := connection.Channel()
	must(t, err)
	_, err = other.QueueDelete(queue, false, false, false)
	must(t, err)
	select {
	case tag := <-cancelled:
		equal(t, tag, "tag")
	case <-time.After(patience):
		t.Fatal("no cancel")
	}
}

func TestDirectReplyTo(t *testing.T) {
	connection, asking := open(t)
	queue := temporary(t, asking, nil)
	serving, err := connection.Channel()
	must(t, err)
	requests, err := serving.Consume(queue, "", true, false, false, false, nil)
	must(t, err)
	replies, err := asking.Consume("amq.rabbitmq.reply-to", "", true, false, false, false, nil)
	must(t, err)
	send(t, asking, "", queue, amqp.Publishing{ReplyTo: "amq.rabbitmq.reply-to", CorrelationId: "c", Body: []byte("ping")})
	request := <-requests
	must(t, serving.Publish("", request.ReplyTo, false, false, amqp.Publishing{CorrelationId: request.CorrelationId, Body: []byte("pong")}))
	reply := <-replies
	equal(t, []string{string(reply.Body), reply.CorrelationId}, []string{"pong", "c"})
}

func TestConfirmedMessagesSurviveASigkill(t *testing.T) {
	b := ownBroker(t)
	_, channel := dial(t, b.url)
	_, err := channel.QueueDeclare("kept", true, false, false, false, nil)
	must(t, err)
	var want []string
	for number := range 100 {
		want = append(want, fmt.Sprint(number))
		equal(t, send(t, channel, "", "kept", amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(want[number])}), true)
	}
	b.kill()
	b.start(t)
	_, channel = dial(t, b.url)
	equal(t, drain(t, channel, "kept"), want)
}
