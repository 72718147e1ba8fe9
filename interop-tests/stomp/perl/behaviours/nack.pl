# NACK gives a message back; with `requeue:false` it is gone.
sub {
    my ($broker) = @_;
    return if $broker->{version} eq '1.0';    # has none
    my $queue = '/queue/' . Client::fresh('nack');
    my $client = Client::open_client($broker);
    $client->publish($queue, 'again');
    $client->subscribe($queue, ack => 'client-individual', 'prefetch-count' => 1);
    $client->settle('nack', $client->next_message);
    my $second = $client->next_message;
    Client::is_equal(['again', 'true'], [$second->body, $second->headers->{redelivered}]);
    $client->settle('nack', $second, requeue => 'false');
    $client->assert_nothing_left($queue);
    $client->disconnect;
};
