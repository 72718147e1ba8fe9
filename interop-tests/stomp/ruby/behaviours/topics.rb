# Everybody who subscribed gets a copy, by name or by pattern.
# frozen_string_literal: true

def show(broker)
  stem = fresh("topic")
  publisher = broker.connect
  expected = { "a" => %w[1 4], "*" => %w[1 3 4], "#" => %w[1 2 3 4], "a.*" => %w[2] }
  watchers = expected.keys.to_h { |pattern| [pattern, broker.connect] }
  watchers.each { |pattern, watcher| watcher.subscribe("/topic/#{stem}.#{pattern}") }
  [%w[a 1], %w[a.b 2], %w[c 3], %w[a 4]].each { |key, body| publisher.publish("/topic/#{stem}.#{key}", body) }
  watchers.each { |pattern, watcher| assert_equal(expected[pattern], watcher.take(expected[pattern].size)) }
  second = watchers["a"].subscribe("/topic/#{stem}.b")
  watchers["a"].unsubscribe("/topic/#{stem}.b", second)
  publisher.publish_surely("/topic/#{stem}.b", "for others")
  watchers["a"].assert_nothing_left("/topic/#{stem}.a")
  [publisher, *watchers.values].each(&:disconnect)
end
