# A durable subscription is owed what came while nobody had it, also over a restart.
sub {
    my ($broker) = @_;
    my $topic = '/topic/' . Client::fresh('durable');
    my %durable = (id => Client::fresh('watch'), durable => 'true', 'auto-delete' => 'false');
    my $watcher = Client::open_client($broker);
    $watcher->subscribe($topic, %durable);
    $watcher->disconnect;
    my $publisher = Client::open_client($broker);
    $publisher->publish_surely($topic, $_, persistent => 'true') for 1 .. 5;
    $publisher->disconnect;
    Client::restart_broker();
    $publisher = Client::open_client($broker);
    $publisher->publish_surely($topic, 'after', persistent => 'true');
    $watcher = Client::open_client($broker);
    $watcher->subscribe($topic, %durable);
    Client::is_equal([1 .. 5, 'after'], $watcher->take(6));
    $watcher->unsubscribe($durable{id}, %durable);
    $publisher->publish_surely($topic, 'for nobody', persistent => 'true');
    $watcher->subscribe($topic, %durable);
    $watcher->assert_nothing_left($topic);
    $watcher->unsubscribe($durable{id}, %durable);
    $_->disconnect for $watcher, $publisher;
};
