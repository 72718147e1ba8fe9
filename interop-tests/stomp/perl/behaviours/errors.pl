# A mistake is answered with an ERROR.
sub {
    my ($broker) = @_;
    for my $destination ('/nowhere/x', '/exchange/' . Client::fresh('nowhere') . '/key') {
        my $client = Client::open_client($broker);
        $client->publish($destination, 'lost');
        die 'no message' unless $client->next_frame('ERROR')->headers->{message};
    }
};
