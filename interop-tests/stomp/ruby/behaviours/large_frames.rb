# Bodies of a mebibyte.
# frozen_string_literal: true

def show(broker)
  queue = "/queue/#{fresh('large')}"
  client = broker.connect
  client.subscribe(queue)
  sent = Array.new(3) { SecureRandom.alphanumeric(1 << 20) }
  sent.each { |body| client.publish(queue, body) }
  raise "not as sent" unless client.take(3) == sent

  client.disconnect
end
