# Headers come as they were sent; the destination is the sender's.
# frozen_string_literal: true

def show(broker)
  queue = "/queue/#{fresh('headers')}"
  client = broker.connect
  id = client.subscribe(queue)
  own = { "colour" => "grey green", "correlation-id" => "17", "type" => "greeting", "content-type" => "text/plain" }
  own = own.merge("colons" => "a:b\\", "lines" => "one\ntwo") unless broker.version == "1.0"
  client.publish(queue, "hello", own)
  message = client.next_message
  assert_equal(own, message.headers.slice(*own.keys))
  assert_equal([queue, id, "hello"], [message.headers["destination"], message.headers["subscription"], message.body])
  client.disconnect
end
