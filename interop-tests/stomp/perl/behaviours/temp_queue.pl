# Request and reply by a temporary queue.
sub {
    my ($broker) = @_;
    my $queue = '/queue/' . Client::fresh('service');
    my ($service, $requester) = map { Client::open_client($broker) } 1, 2;
    $service->subscribe($queue);
    for my $body (1, 2) {
        $requester->publish($queue, $body, 'reply-to' => '/temp-queue/answers', 'correlation-id' => $body);
        my $request = $service->next_message;
        $service->publish($request->headers->{'reply-to'}, 're ' . $request->body, 'correlation-id' => $body);
        my $reply = $requester->next_message;
        Client::is_equal(["re $body", $body], [$reply->body, $reply->headers->{'correlation-id'}]);
        Client::is_equal('/temp-queue/answers', $reply->headers->{subscription});
    }
    $_->disconnect for $requester, $service;
};
