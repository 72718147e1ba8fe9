# NACK gives a message back; with `requeue:false` it is gone.
# frozen_string_literal: true

def show(broker)
  return if broker.version == "1.0" # has none

  queue = "/queue/#{fresh('nack')}"
  client = broker.connect
  client.publish(queue, "again")
  client.subscribe(queue, "ack" => "client-individual", "prefetch-count" => "1")
  client.settle(:nack, client.next_message)
  second = client.next_message
  assert_equal(%w[again true], [second.body, second.headers["redelivered"]])
  client.settle(:nack, second, "requeue" => "false")
  client.assert_nothing_left(queue)
  client.disconnect
end
