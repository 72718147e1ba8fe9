# Agreed heart-beats keep a silent connection.
# frozen_string_literal: true

def show(broker)
  return if broker.version == "1.0" # has none

  topic = "/topic/#{fresh('beats')}"
  client = broker.connect(heart_beats: "500,500")
  client.subscribe(topic)
  sleep(3)
  client.publish(topic, "still there")
  assert_equal(["still there"], client.take(1))
  client.disconnect
end
