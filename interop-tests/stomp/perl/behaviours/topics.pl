# Everybody who subscribed gets a copy, by name or by pattern.
sub {
    my ($broker) = @_;
    my $stem = Client::fresh('topic');
    my $publisher = Client::open_client($broker);
    my %expected = ('a' => [1, 4], '*' => [1, 3, 4], '#' => [1, 2, 3, 4], 'a.*' => [2]);
    my %watchers = map { $_ => Client::open_client($broker) } keys %expected;
    $watchers{$_}->subscribe("/topic/$stem.$_") for keys %watchers;
    $publisher->publish("/topic/$stem.$$_[0]", $$_[1]) for ['a', 1], ['a.b', 2], ['c', 3], ['a', 4];
    Client::is_equal($expected{$_}, $watchers{$_}->take(scalar @{ $expected{$_} })) for keys %watchers;
    my $second = $watchers{a}->subscribe("/topic/$stem.b");
    $watchers{a}->unsubscribe($second);
    $publisher->publish_surely("/topic/$stem.b", 'for others');
    $watchers{a}->assert_nothing_left("/topic/$stem.a");
    $_->disconnect for $publisher, values %watchers;
};
