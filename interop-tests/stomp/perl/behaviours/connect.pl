# The version that was asked for, a session; a wrong passcode is refused.
sub {
    my ($broker) = @_;
    my $client = Client::open_client($broker);
    Client::is_equal($broker->{version}, $client->{connected}->headers->{version});
    die 'no session' unless $client->{connected}->headers->{session};
    my $other = eval { Client::open_client($broker, passcode => 'wrong') };
    die 'a wrong passcode was taken' if $other;
    die $@ unless $@ =~ /^refused/;
    $client->disconnect;
};
