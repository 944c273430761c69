package conformance

// What go-redis, with RESP2 and RESP3, must see of Baton's lists and channels.

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// eachProtocol runs the test with RESP2 and RESP3, each against a broker of its own.
func eachProtocol(t *testing.T, test func(t *testing.T, ctx context.Context, client *redis.Client)) {
	for _, protocol := range []int{2, 3} {
		t.Run(fmt.Sprint("RESP", protocol), func(t *testing.T) {
			b := ownBroker(t)
			ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
			defer cancel()
			client := redis.NewClient(&redis.Options{Addr: b.redis, Protocol: protocol, ClientName: "conformance"})
			defer client.Close()
			test(t, ctx, client)
		})
	}
}

func TestRedisListsGoInAndOut(t *testing.T) {
	eachProtocol(t, func(t *testing.T, ctx context.Context, client *redis.Client) {
		length, err := client.LPush(ctx, "list", "one", "two", "three").Result()
		must(t, err)
		equal(t, length, int64(3))
		equal(t, client.RPop(ctx, "list").Val(), "one")
		equal(t, client.BRPop(ctx, time.Second, "none", "list").Val(), []string{"list", "two"})
		key, elements, err := client.LMPop(ctx, "left", 5, "none", "list").Result()
		must(t, err)
		equal(t, []any{key, elements}, []any{"list", []string{"three"}})
		_, err = client.RPop(ctx, "list").Result()
		equal(t, errors.Is(err, redis.Nil), true)
		_, err = client.BLPop(ctx, time.Second, "list").Result()
		equal(t, errors.Is(err, redis.Nil), true)
	})
}

func TestRedisAWaitingMoveGetsWhatIsPushedMeanwhile(t *testing.T) {
	eachProtocol(t, func(t *testing.T, ctx context.Context, client *redis.Client) {
		moved := make(chan string)
		go func() { moved <- client.BLMove(ctx, "jobs", "working", "LEFT", "RIGHT", patience).Val() }()
		must(t, client.RPush(ctx, "jobs", "job").Err())
		equal(t, <-moved, "job")
		equal(t, client.LRange(ctx, "working", 0, -1).Val(), []string{"job"})
	})
}

func TestRedisPipelinesAndTransactions(t *testing.T) {
	eachProtocol(t, func(t *testing.T, ctx context.Context, client *redis.Client) {
		pipeline := client.Pipeline()
		for number := range 500 {
			pipeline.RPush(ctx, "list", number)
		}
		answers, err := pipeline.Exec(ctx)
		must(t, err)
		equal(t, answers[499].(*redis.IntCmd).Val(), int64(500))

		var one, two *redis.IntCmd
		_, err = client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			one, two = pipe.LPush(ctx, "one", "x"), pipe.LPush(ctx, "two", "x", "y")
			return nil
		})
		must(t, err)
		equal(t, []int64{one.Val(), two.Val()}, []int64{1, 2})

		err = client.Watch(ctx, func(tx *redis.Tx) error {
			must(t, client.LPush(ctx, "one", "somebody else").Err())
			_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error { return pipe.Del(ctx, "one").Err() })
			return err
		}, "one")
		equal(t, errors.Is(err, redis.TxFailedErr), true)
		equal(t, client.LLen(ctx, "one").Val(), int64(2))
	})
}

func TestRedisChannelsAndPatterns(t *testing.T) {
	eachProtocol(t, func(t *testing.T, ctx context.Context, client *redis.Client) {
		subscriber := client.Subscribe(ctx, "news")
		defer subscriber.Close()
		must(t, subscriber.PSubscribe(ctx, "sport.*"))
		for range 2 {
			_, err := subscriber.Receive(ctx)
			must(t, err)
		}
		equal(t, client.Publish(ctx, "news", "a").Val(), int64(1))
		equal(t, client.Publish(ctx, "sport.ski", "b").Val(), int64(1))
		first, err := subscriber.ReceiveMessage(ctx)
		must(t, err)
		second, err := subscriber.ReceiveMessage(ctx)
		must(t, err)
		equal(t, []string{first.Channel, first.Payload}, []string{"news", "a"})
		equal(t, []string{second.Pattern, second.Channel, second.Payload}, []string{"sport.*", "sport.ski", "b"})
		must(t, subscriber.Ping(ctx))
	})
}

func TestRedisAClientIsTold(t *testing.T) {
	eachProtocol(t, func(t *testing.T, ctx context.Context, client *redis.Client) {
		info, err := client.ClientInfo(ctx).Result()
		must(t, err)
		equal(t, []any{info.Name, info.DB, strings.HasPrefix(info.LibName, "go-redis")}, []any{"conformance", 0, true})
		must(t, client.Command(ctx).Err())
		err = client.Set(ctx, "key", "value", 0).Err()
		if err == nil || !strings.Contains(err.Error(), "not strings; see docs/features/redis.md") {
			t.Fatalf("got %v", err)
		}
		equal(t, client.ClusterInfo(ctx).Err().Error(), "ERR This instance has cluster support disabled")
	})
}

func TestRedisPushedElementsSurviveASigkill(t *testing.T) {
	b := ownBroker(t)
	ctx := context.Background()
	client := redis.NewClient(&redis.Options{Addr: b.redis})
	defer client.Close()
	for number := range 100 {
		must(t, client.RPush(ctx, "kept", number).Err())
	}
	b.kill()
	b.start(t)
	// The pool finds by itself that its connections are gone.
	equal(t, len(client.LRange(ctx, "kept", 0, -1).Val()), 100)
}
