# What is sent and settled in a transaction happens at COMMIT, and never after ABORT or a lost connection.
sub {
    my ($broker) = @_;
    my ($source, $target) = map { '/queue/' . Client::fresh($_) } 'source', 'target';
    my ($worker, $watcher) = map { Client::open_client($broker) } 1, 2;
    $watcher->subscribe($target);
    $watcher->publish_surely($source, $_) for 1, 2;
    $worker->subscribe($source, ack => 'client', 'prefetch-count' => 1);

    $worker->transact('BEGIN', 'aborted');
    $worker->publish($target, 'aborted', transaction => 'aborted');
    $worker->transact('ABORT', 'aborted');
    $worker->transact('BEGIN', 'committed');
    $worker->publish($target, $_, transaction => 'committed') for 'a', 'b';
    $worker->settle('ack', $worker->next_message, transaction => 'committed');
    $worker->publish($target, 'outside');
    Client::is_equal(['outside'], $watcher->take(1));
    $worker->transact('COMMIT', 'committed');
    Client::is_equal(['a', 'b'], $watcher->take(2));

    my $task = $worker->next_message;
    Client::is_equal('2', $task->body);
    $worker->transact('BEGIN', 'lost');
    $worker->publish($target, 'lost', transaction => 'lost');
    $worker->settle('ack', $task, transaction => 'lost');
    $worker->disconnect;
    $watcher->assert_nothing_left($target);
    my $heir = Client::open_client($broker);
    $heir->subscribe($source);
    my $again = $heir->next_message;
    Client::is_equal(['2', 'true'], [$again->body, $again->headers->{redelivered}]);
    $_->disconnect for $heir, $watcher;
};
