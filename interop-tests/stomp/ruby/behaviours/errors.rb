# A mistake is answered with an ERROR.
# frozen_string_literal: true

def show(broker)
  ["/nowhere/x", "/exchange/#{fresh('nowhere')}/key"].each do |destination|
    client = broker.connect
    client.publish(destination, "lost")
    error = client.next_frame("ERROR")
    raise "no message" if error.headers["message"].to_s.empty?
  end
end
