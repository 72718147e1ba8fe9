# `ruby run.rb VERSION BEHAVIOUR URL`: one behaviour, shown by the stomp gem in a protocol version; an error if not.
# frozen_string_literal: true

require "timeout"
require_relative "client"

version, behaviour, url = ARGV
$stdout.sync = true
require_relative "behaviours/#{behaviour}"
Timeout.timeout(60) { show(Broker.new(url, version)) }
puts "shown"
