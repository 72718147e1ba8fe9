# `client` settles all up to a message, `client-individual` one; the rest comes back when its consumer leaves.
# frozen_string_literal: true

LEFT = { "client" => %w[5 6], "client-individual" => %w[1 2 3 5 6] }.freeze

def show(broker)
  LEFT.each do |mode, left|
    next if broker.version == "1.0" && mode != "client"

    queue = "/queue/#{fresh(mode)}"
    producer = broker.connect
    consumer = broker.connect
    (1..6).each { |number| producer.publish_surely(queue, number.to_s) }
    consumer.subscribe(queue, "ack" => mode)
    messages = Array.new(6) { consumer.next_message }
    consumer.settle(:ack, messages[3], "receipt" => "settled")
    consumer.wait_receipt("settled")
    consumer.disconnect
    heir = broker.connect
    heir.subscribe(queue)
    again = Array.new(left.size) { heir.next_message }
    assert_equal(left, again.map(&:body))
    assert_equal(["true"], again.map { |message| message.headers["redelivered"] }.uniq)
    heir.assert_nothing_left(queue)
    [heir, producer].each(&:disconnect)
  end
end
