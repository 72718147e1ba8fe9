# Request and reply by a temporary queue.
# frozen_string_literal: true

def show(broker)
  queue = "/queue/#{fresh('service')}"
  service = broker.connect
  requester = broker.connect
  service.subscribe(queue)
  %w[1 2].each do |body|
    requester.publish(queue, body, "reply-to" => "/temp-queue/answers", "correlation-id" => body)
    request = service.next_message
    service.publish(request.headers["reply-to"], "re #{request.body}", "correlation-id" => body)
    reply = requester.next_message
    assert_equal(["re #{body}", body], [reply.body, reply.headers["correlation-id"]])
    assert_equal("/temp-queue/answers", reply.headers["subscription"])
  end
  [requester, service].each(&:disconnect)
end
