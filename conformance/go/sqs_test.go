package conformance

// What the AWS SDK for Go, version 2, must see of Baton.

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func sqsQueue(t *testing.T, name string, attributes map[string]string) (context.Context, *sqs.Client, *string) {
	b := ownBroker(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	client := sqs.New(sqs.Options{Region: "us-east-1", BaseEndpoint: aws.String("http://" + b.http),
		Credentials: credentials.NewStaticCredentialsProvider("any", "any", "")})
	queue, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	must(t, err)
	return ctx, client, queue.QueueUrl
}

func TestSqsSendReceiveDelete(t *testing.T) {
	ctx, client, url := sqsQueue(t, "orders", map[string]string{"VisibilityTimeout": "60"})
	// The SDK compares the MD5 sums of body and attributes with its own.
	_, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("one pizza <ü>"),
		MessageAttributes: map[string]types.MessageAttributeValue{
			"size":  {DataType: aws.String("Number"), StringValue: aws.String("30")},
			"bytes": {DataType: aws.String("Binary"), BinaryValue: []byte{0, 255}}}})
	must(t, err)
	got, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: url, WaitTimeSeconds: 5, MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll}})
	must(t, err)
	equal(t, len(got.Messages), 1)
	message := got.Messages[0]
	equal(t, []any{*message.Body, *message.MessageAttributes["size"].StringValue, message.MessageAttributes["bytes"].BinaryValue,
		message.Attributes["ApproximateReceiveCount"]}, []any{"one pizza <ü>", "30", []byte{0, 255}, "1"})
	_, err = client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: message.ReceiptHandle})
	must(t, err)
	counts, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: url,
		AttributeNames: []types.QueueAttributeName{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"}})
	must(t, err)
	equal(t, counts.Attributes, map[string]string{"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "0"})
}

func TestSqsFifoKeepsGroupsInOrderAndDropsDuplicates(t *testing.T) {
	ctx, client, url := sqsQueue(t, "orders.fifo", map[string]string{"FifoQueue": "true", "ContentBasedDeduplication": "true"})
	var entries []types.SendMessageBatchRequestEntry
	for _, text := range []string{"1", "2", "2", "3"} {
		entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint("e", len(entries))), MessageBody: aws.String(text),
			MessageGroupId: aws.String("g")})
	}
	sent, err := client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: entries})
	must(t, err)
	equal(t, []int{len(sent.Successful), len(sent.Failed)}, []int{4, 0})
	got, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: 10, WaitTimeSeconds: 5})
	must(t, err)
	var bodies []string
	for _, message := range got.Messages {
		bodies = append(bodies, *message.Body)
	}
	equal(t, bodies, []string{"1", "2", "3"})
}

func TestSqsErrorsAreTheirTypes(t *testing.T) {
	ctx, client, url := sqsQueue(t, "orders", nil)
	_, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("nope")})
	var unknown *types.QueueDoesNotExist
	equal(t, errors.As(err, &unknown), true)
	_, err = client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: aws.String("nonsense")})
	var handle *types.ReceiptHandleIsInvalid
	equal(t, errors.As(err, &handle), true)
	_, err = client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: []types.SendMessageBatchRequestEntry{}})
	var empty *types.EmptyBatchRequest
	equal(t, errors.As(err, &empty), true)
}

func TestSqsPagesOfQueues(t *testing.T) {
	ctx, client, _ := sqsQueue(t, "page-1", nil)
	for _, name := range []string{"page-2", "page-3"} {
		_, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name})
		must(t, err)
	}
	var urls []string
	pages := sqs.NewListQueuesPaginator(client, &sqs.ListQueuesInput{MaxResults: aws.Int32(2), QueueNamePrefix: aws.String("page-")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		must(t, err)
		urls = append(urls, page.QueueUrls...)
	}
	equal(t, len(urls), 3)
}
