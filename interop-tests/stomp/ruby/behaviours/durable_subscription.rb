# A durable subscription is owed what came while nobody had it, also over a restart.
# frozen_string_literal: true

def show(broker)
  topic = "/topic/#{fresh('durable')}"
  durable = { "id" => fresh("watch"), "durable" => "true", "auto-delete" => "false" }
  watcher = broker.connect
  watcher.subscribe(topic, durable)
  watcher.disconnect
  publisher = broker.connect
  numbers = (0...5).map(&:to_s)
  numbers.each { |number| publisher.publish_surely(topic, number, "persistent" => "true") }
  publisher.disconnect
  restart_broker
  publisher = broker.connect
  publisher.publish_surely(topic, "after", "persistent" => "true")
  watcher = broker.connect
  watcher.subscribe(topic, durable)
  assert_equal([*numbers, "after"], watcher.take(6))
  watcher.unsubscribe(topic, durable["id"], durable)
  publisher.publish_surely(topic, "for nobody", "persistent" => "true")
  watcher.subscribe(topic, durable)
  watcher.assert_nothing_left(topic)
  watcher.unsubscribe(topic, durable["id"], durable)
  [watcher, publisher].each(&:disconnect)
end
