# `client` settles all up to a message, `client-individual` one; the rest comes back when its consumer leaves.
sub {
    my ($broker) = @_;
    my %left = ('client' => [5, 6], 'client-individual' => [1, 2, 3, 5, 6]);
    for my $mode (sort keys %left) {
        next if $broker->{version} eq '1.0' && $mode ne 'client';
        my $queue = '/queue/' . Client::fresh($mode);
        my ($producer, $consumer) = map { Client::open_client($broker) } 1, 2;
        $producer->publish_surely($queue, $_) for 1 .. 6;
        $consumer->subscribe($queue, ack => $mode);
        my @messages = map { $consumer->next_message } 1 .. 6;
        $consumer->settle('ack', $messages[3]);
        $consumer->disconnect;
        my $heir = Client::open_client($broker);
        $heir->subscribe($queue);
        my @again = map { $heir->next_message } @{ $left{$mode} };
        Client::is_equal($left{$mode}, [map { $_->body } @again]);
        Client::is_equal('true', $_->headers->{redelivered}) for @again;
        $heir->assert_nothing_left($queue);
        $_->disconnect for $heir, $producer;
    }
};
