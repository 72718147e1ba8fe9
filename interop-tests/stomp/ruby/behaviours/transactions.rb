# What is sent and settled in a transaction happens at COMMIT, and never after ABORT or a lost connection.
# frozen_string_literal: true

def show(broker)
  source = "/queue/#{fresh('source')}"
  target = "/queue/#{fresh('target')}"
  worker = broker.connect
  watcher = broker.connect
  watcher.subscribe(target)
  %w[1 2].each { |body| watcher.publish_surely(source, body) }
  worker.subscribe(source, "ack" => "client", "prefetch-count" => "1")

  worker.stomp.begin("aborted")
  worker.publish(target, "aborted", "transaction" => "aborted")
  worker.stomp.abort("aborted")
  worker.stomp.begin("committed")
  %w[a b].each { |body| worker.publish(target, body, "transaction" => "committed") }
  worker.settle(:ack, worker.next_message, "transaction" => "committed")
  worker.publish(target, "outside")
  assert_equal(["outside"], watcher.take(1))
  worker.stomp.commit("committed")
  assert_equal(%w[a b], watcher.take(2))

  task = worker.next_message
  assert_equal("2", task.body)
  worker.stomp.begin("lost")
  worker.publish(target, "lost", "transaction" => "lost")
  worker.settle(:ack, task, "transaction" => "lost")
  worker.disconnect
  watcher.assert_nothing_left(target)
  heir = broker.connect
  heir.subscribe(source)
  again = heir.next_message
  assert_equal(%w[2 true], [again.body, again.headers["redelivered"]])
  [heir, watcher].each(&:disconnect)
end
