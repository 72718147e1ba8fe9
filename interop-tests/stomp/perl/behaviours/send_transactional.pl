# Its way to be sure: it waits for the SEND's receipt inside the transaction, and only then sends COMMIT.
sub {
    my ($broker) = @_;
    my $queue = '/queue/' . Client::fresh('sure');
    my ($producer, $consumer) = map { Client::open_client($broker) } 1, 2;
    $consumer->subscribe($queue);
    for my $body (1, 2) {
        my %message = (destination => $queue, body => $body, persistent => 'true');
        die 'not sent' unless $producer->stomp->send_transactional({%message});
        die 'not sent' unless $producer->stomp->send_with_receipt({%message});
        Client::is_equal([$body, $body], $consumer->take(2));
    }
    $_->disconnect for $producer, $consumer;
};
