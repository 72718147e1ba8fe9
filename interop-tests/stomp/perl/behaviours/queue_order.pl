# Five hundred messages with any bytes: all there, once, in order; queues outlive their consumers.
sub {
    my ($broker) = @_;
    my $queue = '/queue/' . Client::fresh('order');
    my ($producer, $consumer) = map { Client::open_client($broker) } 1, 2;
    my @sent = map { "$_\0\n\r" . 'x' x ($_ % 50) } 0 .. 499;
    $producer->publish($queue, $_) for @sent[0 .. 249];
    $consumer->subscribe($queue);
    $producer->publish($queue, $_) for @sent[250 .. 499];
    Client::is_equal(\@sent, $consumer->take(500));
    $consumer->assert_nothing_left($queue);
    $consumer->disconnect;
    $producer->publish_surely($queue, 'kept');
    my $heir = Client::open_client($broker);
    $heir->subscribe($queue);
    Client::is_equal(['kept'], $heir->take(1));
    $_->disconnect for $heir, $producer;
};
