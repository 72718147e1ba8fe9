# The version that was asked for, a session; a wrong passcode is refused.
# frozen_string_literal: true

def show(broker)
  client = broker.connect
  assert_equal(broker.version, client.stomp.protocol)
  raise "no session" if client.stomp.session.to_s.empty?

  begin
    other = broker.connect(passcode: "wrong")
    raise "a wrong passcode was taken" if other.stomp.open? && other.stomp.connection_frame.command == "CONNECTED"
  rescue Stomp::Error::StompServerError, Stomp::Error::ProtocolErrorConnect
    # as it should
  end
  client.disconnect
end
