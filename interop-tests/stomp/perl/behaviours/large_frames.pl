# Bodies of a mebibyte.
sub {
    my ($broker) = @_;
    my $queue = '/queue/' . Client::fresh('large');
    my $client = Client::open_client($broker);
    $client->subscribe($queue);
    my @sent = map { join '', map { chr int rand 256 } 1 .. 1 << 20 } 1, 2;
    $client->publish($queue, $_) for @sent;
    $_ eq $client->next_message->body or die 'not as sent' for @sent;
    $client->disconnect;
};
