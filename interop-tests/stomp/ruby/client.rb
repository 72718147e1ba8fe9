# What each behaviour begins with.
# frozen_string_literal: true

require "securerandom"
require "stomp"
require "timeout"
require "uri"

WAIT_S = 20

# A name nobody used.
def fresh(name)
  "#{name}-#{SecureRandom.hex(6)}"
end

def assert_equal(expected, got)
  raise "expected #{expected.inspect}, got #{got.inspect}" unless expected == got
end

# Asks whoever runs this to restart the broker; returns once it accepts connections again.
def restart_broker
  puts "restart"
  assert_equal("restarted\n", $stdin.gets)
end

# One Stomp::Connection; what comes while something else is waited for waits, too.
class Client
  attr_reader :stomp

  def initialize(stomp, version)
    @stomp = stomp
    @version = version
    @messages = []
  end

  def publish(destination, body, headers = {})
    @stomp.publish(destination, body, headers)
  end

  # Returns once the broker has it.
  def publish_surely(destination, body, headers = {})
    receipt = fresh("receipt")
    publish(destination, body, headers.merge("receipt" => receipt))
    wait_receipt(receipt)
  end

  # Returns once the broker has done it; gives the subscription's id.
  def subscribe(destination, headers = {})
    id = headers.fetch("id") { fresh("subscription") }
    receipt = fresh("receipt")
    @stomp.subscribe(destination, { "id" => id, "receipt" => receipt }.merge(headers), id)
    wait_receipt(receipt)
    id
  end

  def unsubscribe(destination, id, headers = {})
    receipt = fresh("receipt")
    @stomp.unsubscribe(destination, { "id" => id, "receipt" => receipt }.merge(headers), id)
    wait_receipt(receipt)
  end

  # By the name that the version has for a message.
  def settle(verb, message, headers = {})
    case @version
    when "1.2" then @stomp.public_send(verb, message.headers["ack"], headers)
    else
      named = { "subscription" => message.headers["subscription"] }.merge(headers)
      @stomp.public_send(verb, message.headers["message-id"], named)
    end
  end

  def next_message
    @messages.shift || next_frame("MESSAGE")
  end

  def take(count)
    Array.new(count) { next_message.body }
  end

  # What is published now is the next that comes.
  def assert_nothing_left(destination)
    marker = fresh("marker")
    publish(destination, marker)
    assert_equal(marker, next_message.body)
  end

  def wait_receipt(receipt)
    assert_equal(receipt, next_frame("RECEIPT").headers["receipt-id"])
  end

  def next_frame(command)
    loop do
      frame = Timeout.timeout(WAIT_S) { @stomp.receive }
      raise "hung up where #{command} was to come" if frame.nil? || frame == ""
      return frame if frame.command == command

      raise frame.to_s unless frame.command == "MESSAGE"

      @messages << frame
    end
  end

  def disconnect
    @stomp.disconnect("receipt" => "end")
  end
end

# Whoever answers at a URL.
class Broker
  attr_reader :version

  def initialize(url, version)
    @url = URI(url)
    @version = version
  end

  def connect(passcode: @url.password, heart_beats: "0,0")
    headers = { "accept-version" => @version, "host" => "/", "heart-beat" => heart_beats }
    host = { login: @url.user, passcode: passcode, host: @url.host, port: @url.port, ssl: false }
    options = { hosts: [host], reliable: false, connect_headers: headers, max_hbrlck_fails: 1 }
    Client.new(Stomp::Connection.new(options), @version)
  end
end
