package conformance

// What go-stomp, with each version of STOMP, must see of Baton.

import (
	"errors"
	"testing"
	"time"

	"github.com/go-stomp/stomp/v3"
)

var allStomp = []stomp.Version{stomp.V10, stomp.V11, stomp.V12}

// eachStomp runs the test with each of the versions, against a broker of its own.
func eachStomp(t *testing.T, versions []stomp.Version, test func(t *testing.T, dial func() *stomp.Conn)) {
	for _, version := range versions {
		t.Run(version.String(), func(t *testing.T) {
			b := ownBroker(t)
			test(t, func() *stomp.Conn {
				connection, err := stomp.Dial("tcp", b.stomp, stomp.ConnOpt.Login("guest", "guest"), stomp.ConnOpt.AcceptVersion(version),
					stomp.ConnOpt.HeartBeat(5*time.Second, 5*time.Second))
				must(t, err)
				equal(t, connection.Version(), version)
				return connection
			})
		})
	}
}

func received(t *testing.T, subscription *stomp.Subscription) *stomp.Message {
	t.Helper()
	select {
	case message := <-subscription.C:
		must(t, message.Err)
		return message
	case <-time.After(patience):
		t.Fatal("no message")
		return nil
	}
}

func TestStompSendReceiveAcknowledge(t *testing.T) {
	eachStomp(t, allStomp, func(t *testing.T, dial func() *stomp.Conn) {
		connection := dial()
		must(t, connection.Send("/queue/orders", "text/plain", []byte("one pizza"), stomp.SendOpt.Receipt,
			stomp.SendOpt.Header("persistent", "true"), stomp.SendOpt.Header("k", "a:b")))
		subscription, err := connection.Subscribe("/queue/orders", stomp.AckClient)
		must(t, err)
		message := received(t, subscription)
		equal(t, []string{string(message.Body), message.Header.Get("k"), message.Destination}, []string{"one pizza", "a:b", "/queue/orders"})
		must(t, connection.Ack(message))
		must(t, connection.Disconnect())

		connection = dial()
		subscription, err = connection.Subscribe("/queue/orders", stomp.AckAuto)
		must(t, err)
		must(t, connection.Send("/queue/orders", "text/plain", []byte("next"), stomp.SendOpt.Receipt))
		equal(t, string(received(t, subscription).Body), "next") // the first one is gone
		must(t, subscription.Unsubscribe())
		must(t, connection.Disconnect())
	})
}

func TestStompATransactionIsAllOrNothing(t *testing.T) {
	eachStomp(t, allStomp, func(t *testing.T, dial func() *stomp.Conn) {
		connection := dial()
		subscription, err := connection.Subscribe("/queue/orders", stomp.AckAuto)
		must(t, err)
		aborted := connection.Begin()
		must(t, aborted.Send("/queue/orders", "text/plain", []byte("no")))
		must(t, aborted.Abort())
		committed := connection.Begin()
		must(t, committed.Send("/queue/orders", "text/plain", []byte("yes")))
		must(t, committed.Commit())
		equal(t, string(received(t, subscription).Body), "yes")
		must(t, connection.Disconnect())
	})
}

func TestStompANackedMessageComesAgain(t *testing.T) {
	eachStomp(t, allStomp[1:], func(t *testing.T, dial func() *stomp.Conn) { // 1.0 has no NACK
		connection := dial()
		must(t, connection.Send("/queue/orders", "text/plain", []byte("x"), stomp.SendOpt.Receipt))
		subscription, err := connection.Subscribe("/queue/orders", stomp.AckClientIndividual)
		must(t, err)
		must(t, connection.Nack(received(t, subscription)))
		again := received(t, subscription)
		equal(t, []string{string(again.Body), again.Header.Get("redelivered")}, []string{"x", "true"})
		must(t, connection.Ack(again))
		must(t, connection.Disconnect())
	})
}

func TestStompAnErrorSaysWhatIsWrong(t *testing.T) {
	eachStomp(t, allStomp, func(t *testing.T, dial func() *stomp.Conn) {
		connection := dial()
		err := connection.Send("/temp-topic/x", "text/plain", []byte("x"), stomp.SendOpt.Receipt)
		var reason stomp.Error
		equal(t, errors.As(err, &reason), true)
		equal(t, reason.Message, "invalid destination")
	})
}
