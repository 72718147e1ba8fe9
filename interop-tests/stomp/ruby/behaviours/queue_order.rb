# Five hundred messages with any bytes: all there, once, in order; queues outlive their consumers.
# frozen_string_literal: true

def show(broker)
  queue = "/queue/#{fresh('order')}"
  producer = broker.connect
  consumer = broker.connect
  sent = Array.new(500) { |number| "#{number}\0\n\r#{'x' * (number % 50)}" }
  sent.first(250).each { |body| producer.publish(queue, body) }
  consumer.subscribe(queue)
  sent.last(250).each { |body| producer.publish(queue, body) }
  assert_equal(sent, consumer.take(500))
  consumer.assert_nothing_left(queue)
  consumer.disconnect
  producer.publish_surely(queue, "kept")
  heir = broker.connect
  heir.subscribe(queue)
  assert_equal(["kept"], heir.take(1))
  heir.disconnect
  producer.disconnect
end
