package main

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9" // go get github.com/redis/go-redis/v9
)

var (
	ctx    = context.Background()
	prefix = "seqd"
	ended  = []string{"completed", "failed", "cancelled", "expired", "rejected"}
)

type Failure struct{ Code, Message string }

type Event struct {
	Event   string
	Failure *Failure
}

type Result struct {
	CustomID string `json:"custom_id"`
	Status   string
	Output   *struct{ Label string }
	Error    *Failure
}

// ask asks until Redis answers: the connection may have gone, and comes back by itself.
func ask[T any](question func() (T, error)) (T, error) {
	for {
		answer, err := question()
		var reply redis.Error // an answer, such as OOM; redis.Nil is one, too
		if err == nil || errors.As(err, &reply) {
			return answer, err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// submit hands a job in; sent twice, the same identifier makes it once.
func submit(client *redis.Client, job string) (string, error) {
	random := make([]byte, 16)
	rand.Read(random)
	id := hex.EncodeToString(random)
	entry := &redis.XAddArgs{Stream: prefix + ":inbox", Values: []string{"id", id, "job", job}}
	_, err := ask(func() (string, error) { return client.XAdd(ctx, entry).Result() })
	return id, err
}

// follow calls heard with the events of a job up to its last, each once, over lost connections too.
func follow(client *redis.Client, id string, heard func(Event)) error {
	key, last := prefix+":job:{"+id+"}", "0"
	for {
		args := &redis.XReadArgs{Streams: []string{key + ":events", last}, Block: 5 * time.Second}
		streams, err := ask(func() ([]redis.XStream, error) { return client.XRead(ctx, args).Result() })
		if errors.Is(err, redis.Nil) {
			// The events of a small job go half a minute after its end.
			state, _ := ask(func() (string, error) { return client.HGet(ctx, key, "state").Result() })
			if slices.Contains(ended, state) {
				return nil
			}
			continue
		}
		if err != nil {
			return err
		}
		for _, message := range streams[0].Messages {
			var event Event
			if err := json.Unmarshal([]byte(message.Values["e"].(string)), &event); err != nil {
				return err
			}
			last = message.ID
			heard(event)
			if slices.Contains(ended, event.Event) {
				return nil
			}
		}
	}
}

// results calls read with the results of a job that has ended, in input order.
func results(client *redis.Client, id string, read func(Result)) error {
	key := prefix + ":job:{" + id + "}"
	job, err := ask(func() (map[string]string, error) { return client.HGetAll(ctx, key).Result() })
	if err != nil {
		return err
	}
	small := job["results"]
	for more := 1; more < 8; more++ {
		small += job["results+"+strconv.Itoa(more)]
	}
	if small != "" {
		return lines(small, read)
	}
	units, _ := strconv.Atoi(job["units"])
	for unit := range units {
		row := strconv.Itoa(unit)
		for more := 1; ; more++ {
			packed, err := ask(func() (string, error) { return client.HGet(ctx, key+":out", row).Result() })
			if errors.Is(err, redis.Nil) {
				break
			}
			if err != nil {
				return err
			}
			if err := lines(packed, read); err != nil {
				return err
			}
			row = fmt.Sprintf("%d+%d", unit, more)
		}
	}
	return nil
}

func lines(packed string, read func(Result)) error {
	inflated, err := zlib.NewReader(bytes.NewReader([]byte(packed)))
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(inflated)
	for {
		var result Result
		if err := decoder.Decode(&result); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		read(result)
	}
}

func main() {
	if given := os.Getenv("SEQD_PREFIX"); given != "" {
		prefix = given
	}
	options, err := redis.ParseURL(os.Getenv("SEQD_REDIS_URL")) // redis://… or unix://…
	if err != nil {
		fmt.Fprintln(os.Stderr, "Set SEQD_REDIS_URL, to redis://… or to the `url` in seqd's "+
			"redis/endpoint.json:", err)
		os.Exit(2)
	}
	client := redis.NewClient(options)
	defer client.Close()

	id, err := submit(client, `{
		"kind": "classify",
		"model": "imdb_lstm",
		"source": {"type": "inline", "items": [
			{"custom_id": "r1", "text": "A wonderful film, moving and beautifully acted."},
			{"custom_id": "r2", "text": "Dull, badly written, a waste of two hours."}]}}`)
	if err != nil {
		panic(err)
	}
	err = follow(client, id, func(event Event) { fmt.Println(event.Event) })
	if err != nil {
		panic(err)
	}
	err = results(client, id, func(result Result) {
		if result.Status == "succeeded" {
			fmt.Println(result.CustomID, result.Output.Label)
		} else {
			fmt.Println(result.CustomID, result.Error.Code, result.Error.Message)
		}
	})
	if err != nil {
		panic(err)
	}
}
